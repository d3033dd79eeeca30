"""What is named on command lines: ``squidmesh --app examples.shop.main:mesh …``, ``uvicorn examples.shop.main:web``."""

from examples.shop.app import made
from examples.shop.settings import Settings
from examples.shop.workflows import connected

settings = Settings.read()
mesh = connected(settings)
web = made(settings, mesh)
