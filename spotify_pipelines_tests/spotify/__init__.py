"""Tests of the Web API client."""
