-- The index is for claims that are asked for again. A lease that was handed over was asked for by nobody: most of them
-- are, and need not stand in it.
DROP INDEX leases_by_owner;
CREATE INDEX leases_by_request ON leases (owner, request_hash) WHERE request_hash IS NOT NULL;

PRAGMA user_version = 12;
