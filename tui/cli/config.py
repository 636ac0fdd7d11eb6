"""`corral config`: what is set, and by whom; and the giving of settings to every verb."""

from __future__ import annotations

from argparse import Namespace

from bus.setting_files import SettingsError
from bus.setting_kinds import Value
from bus.settings import SETTINGS, Said, Setting, Settings, Source, load, nearest, shown
from tui.cli import output
from tui.cli.diagnostics import CommandError, Exit
from tui.view.table import Column

_OPTIONS = {
    "data": "data",
    "nats.url": "url",
    "nats.credentials": "credentials",
    "database.dsn": "database",
    "agent.can": "can",
    "agent.interfaces": "interface",
    "output": "output",
}
"""Key -> attribute of the parsed command line. A verb has some of them."""


def load_settings(arguments: Namespace) -> Settings:
    """What is said for this call. Raises CommandError: exit 78, or 2 for what was typed."""
    flags: dict[str, Value | None] = {key: getattr(arguments, name, None) for key, name in _OPTIONS.items()}
    try:
        return load(flags)
    except SettingsError as error:
        said = error.error
        typed = said.field.startswith("--")
        raise CommandError(
            "E_USAGE" if typed else said.code,
            said.message,
            exit=Exit.USAGE if typed else Exit.CONFIGURATION,
            hint=said.hint,
            field=said.field,
            got=said.got,
            expected=said.expected,
        ) from None


def fill(arguments: Namespace) -> None:
    """Give every option that was not typed what environment and files say. Raises CommandError.

    What nobody said stays None: the program that needs it finds out itself.
    """
    settings = load_settings(arguments)
    for key, name in _OPTIONS.items():
        if hasattr(arguments, name) and getattr(arguments, name) is None:
            setattr(arguments, name, settings.get(key))
    arguments.settings = settings


def config(arguments: Namespace) -> int:
    """Carry out `corral config ACTION`."""
    settings: Settings = arguments.settings
    match arguments.action:
        case "list":
            _list(settings, as_json=arguments.output == "json")
        case "path":
            _path(settings, as_json=arguments.output == "json")
        case "get":
            setting = _setting(arguments.key)
            value = settings.get(setting.key)
            if arguments.output == "json":
                output.as_json({"key": setting.key, "value": _plain(setting, value)})
            else:
                output.lines([shown(setting, value)])
        case "explain":
            _explain(_setting(arguments.key), settings, as_json=arguments.output == "json")
    return Exit.OK


def _list(settings: Settings, *, as_json: bool) -> None:
    if as_json:
        output.as_json([_document(SETTINGS[key], said) for key, said in settings.said.items()])
        return
    rows = [(key, shown(SETTINGS[key], said[0].value), _who(said[0])) for key, said in settings.said.items()]
    output.table((Column("KEY"), Column("VALUE"), Column("FROM")), rows)


def _path(settings: Settings, *, as_json: bool) -> None:
    files = [
        (Source.USER_FILE, settings.files.user),
        (Source.SYSTEM_FILE, settings.files.system),
    ]
    if as_json:
        output.as_json([{"source": str(s), "path": str(p), "exists": p.is_file()} for s, p in files])
    else:
        output.lines([f"{p}{'' if p.is_file() else '  (no such file)'}" for _, p in files])


def _explain(setting: Setting, settings: Settings, *, as_json: bool) -> None:
    said = settings.said[setting.key]
    if as_json:
        output.as_json(_document(setting, said))
        return
    takes = ", ".join(setting.choices) if setting.choices else str(setting.kind)
    output.lines([f"{setting.key}: {setting.meaning}", f"takes: {takes}", ""])
    by_source = {each.source: each for each in said}
    rows = []
    for source in Source:
        each = by_source.get(source)
        mark = "wins" if each is said[0] else ("" if each is None else "overruled")
        value = "" if each is None else shown(setting, each.value)
        rows.append((str(source), value, _place(setting, source, settings, each), mark))
    output.table((Column("SOURCE"), Column("VALUE"), Column("WHERE"), Column("")), rows)


def _place(setting: Setting, source: Source, settings: Settings, said: Said | None) -> str:
    """Where a source says it, or would."""
    if said is not None and said.where:
        return said.where
    match source:
        case Source.FLAG:
            return ", ".join(setting.flags)
        case Source.ENVIRONMENT:
            return setting.variable
        case Source.USER_FILE:
            return str(settings.files.user)
        case Source.SYSTEM_FILE:
            return str(settings.files.system)
        case Source.DEFAULT:
            return ""


def _who(said: Said) -> str:
    return f"{said.source}: {said.where}" if said.where else str(said.source)


def _document(setting: Setting, said: tuple[Said, ...]) -> dict[str, object]:
    return {
        "key": setting.key,
        "value": _plain(setting, said[0].value),
        "source": str(said[0].source),
        "where": said[0].where,
        "variable": setting.variable,
        "meaning": setting.meaning,
        "sources": [
            {"source": str(each.source), "where": each.where, "value": _plain(setting, each.value)}
            for each in said
        ],
    }


def _plain(setting: Setting, value: Value | None) -> Value | None:
    return value if value is None or isinstance(value, int) else shown(setting, value)


def _setting(key: str | None) -> Setting:
    if key is None:
        raise CommandError(
            "E_USAGE", "name a key", exit=Exit.USAGE, field="KEY", hint="corral config list shows every key"
        )
    found = SETTINGS.get(key)
    if found is None:
        raise CommandError("E_FIELD", f"no setting {key!r}", exit=Exit.USAGE, hint=nearest(key))
    return found
