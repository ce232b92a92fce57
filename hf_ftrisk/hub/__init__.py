"""The prediction, and later the outcome, in the model card."""

from hf_ftrisk.hub.attach import attach_card
from hf_ftrisk.hub.clean import clean_report
from hf_ftrisk.hub.metadata import CardForecast, CardMetadata, CardRisk
from hf_ftrisk.hub.publishing import Published, publish
from hf_ftrisk.hub.section import render_section

__all__ = [
    "CardForecast",
    "CardMetadata",
    "CardRisk",
    "Published",
    "attach_card",
    "clean_report",
    "publish",
    "render_section",
]
