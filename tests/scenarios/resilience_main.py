"""The mesh of the workers of ``./dev resilience``."""

from examples.shop.settings import Settings
from tests.scenarios.resilience_app import connected

mesh = connected(Settings.read())
