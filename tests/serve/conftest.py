"""Fixtures of the tests of the service."""

from __future__ import annotations

from tests.serve.service import keys_file, start_service, tiny_ramkg, tiny_samrank

__all__ = ["keys_file", "start_service", "tiny_ramkg", "tiny_samrank"]
