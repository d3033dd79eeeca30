"""A shop on FastAPI, PostgreSQL and Redis, whose orders are carried out by workflows. See README.md beside it."""
