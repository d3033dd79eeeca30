-- Makes items deliverable.
-- KEYS: the queue's. ARGV: how many items, then they (see _common). Returns the
--   positions, from 1, of those that a tombstone keeps out.
-- Refused as a whole when the server is out of memory: the work waits in the journal.
local items = {}
for n = 1, number() do items[n] = argument_of_item() end
complete()

return put_all(items, now())
