-- The task types that every cluster starts with: the thirteen standard ones, and Corral's own.

insert into corral.task_types
    (name, description, agent_type, avg_complexity, avg_duration_seconds, required_input, standard)
values
    ('text_analysis', 'Sentiment, entities and keywords of a text', 'NLPAgent', 0.50, 5, '{text}', true),
    ('text_generation', 'Text written to a prompt', 'NLPAgent', 0.60, 10, '{prompt}', true),
    ('translation', 'A text in another language', 'NLPAgent', 0.55, 8, '{text,source_lang,target_lang}', true),
    ('code_generation', 'Code written to a specification', 'CodeAgent', 0.75, 30, '{specification}', true),
    ('code_analysis', 'Faults and quality of code', 'CodeAgent', 0.65, 15, '{code}', true),
    ('code_optimization', 'Code made quicker or smaller', 'CodeAgent', 0.80, 45, '{}', true),
    ('data_processing', 'Data cleaned and transformed', 'DataAgent', 0.65, 20, '{data}', true),
    ('data_analysis', 'Statistics of data', 'DataAgent', 0.70, 25, '{data}', true),
    ('data_visualization', 'Charts of data', 'DataAgent', 0.45, 12, '{}', true),
    ('research', 'A question looked into', 'ResearchAgent', 0.75, 60, '{}', true),
    ('summarization', 'Documents made short', 'ResearchAgent', 0.55, 15, '{}', true),
    ('multi_step', 'Several dependent stages', 'OrchestratorAgent', 0.85, 120, '{}', true),
    ('pipeline', 'A data pipeline', 'OrchestratorAgent', 0.75, 90, '{}', true);

insert into corral.task_types (name, description, agent_type, required_input, parallel)
values
    ('shell', 'Any command', 'NodeAgent', '{}', 'array'),
    ('wordcount', 'Words counted: one task a file, then a merge', 'NodeAgent', '{}', 'array'),
    ('python', 'A Python program', 'NodeAgent', '{}', 'array'),
    ('container', 'A command in a container image', 'NodeAgent', '{}', 'array'),
    ('train', 'Distributed training', 'NodeAgent', '{}', 'gang'),
    ('render', 'Frames of an animation', 'NodeAgent', '{}', 'array');
