-- The name of this life of the queue's memory; gives it one if it has none.
-- KEYS: the queue's. ARGV: candidate. Returns the incarnation.
local candidate = word()
complete()

may_grow()
return incarnation(candidate)
