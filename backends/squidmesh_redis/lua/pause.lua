-- Stops (1) or starts again (0) the handing out of the queue.
-- KEYS: the queue's. ARGV: 1 or 0. Returns nothing.
local pauses = number() == 1
complete()

may_grow()
if pauses then
  call('HSET', LIFE, 'paused', '1')
else
  call('HDEL', LIFE, 'paused')
  hint(MOST_HINTS)
end
