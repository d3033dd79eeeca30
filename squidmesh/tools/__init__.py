"""Calls to the outside from steps: what a tool is, and the one for HTTP. Retries are the workflow's, never a tool's."""

from squidmesh import ToolError
from squidmesh.tools.http import HttpRequest, HttpTool
from squidmesh.tools.tool import Tool, ToolResult

__all__ = ["HttpRequest", "HttpTool", "Tool", "ToolError", "ToolResult"]
