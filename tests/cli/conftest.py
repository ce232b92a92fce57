"""Reports, and the local Hub."""

from tests.hub.conftest import decomposition, hub, hub_server, make_report, report

__all__ = ["decomposition", "hub", "hub_server", "make_report", "report"]
