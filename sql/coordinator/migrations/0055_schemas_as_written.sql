-- The schemas of tools as their authors wrote them: jsonb forgets the order of keys, a form asks in that order.

alter table corral.tools
    add column input_schema_text text,
    add column output_schema_text text;
comment on column corral.tools.input_schema_text is
    'The text that input_schema was read from; not counted where it says something else';
comment on column corral.tools.output_schema_text is
    'The text that output_schema was read from; not counted where it says something else';
