"""The local Hub."""

from tests.local_hub import hub, hub_server

__all__ = ["hub", "hub_server"]
