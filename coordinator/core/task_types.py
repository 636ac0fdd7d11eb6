"""What the input of each standard task type must hold: the same as in corral.task_types, as a test sees."""

from __future__ import annotations

REQUIRED_INPUT: dict[str, tuple[str, ...]] = {
    "text_analysis": ("text",),
    "text_generation": ("prompt",),
    "translation": ("text", "source_lang", "target_lang"),
    "code_generation": ("specification",),
    "code_analysis": ("code",),
    "code_optimization": (),
    "data_processing": ("data",),
    "data_analysis": ("data",),
    "data_visualization": (),
    "research": (),
    "summarization": (),
    "multi_step": (),
    "pipeline": (),
}
