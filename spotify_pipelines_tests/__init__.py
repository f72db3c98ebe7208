"""Tests: they mirror the package, and stand on real services (see conftest.py)."""
