-- What somebody has found who looked at queues in his turn: nothing, for now. Only as long as nothing has come since.
-- KEYS: the index's (see _index). ARGV: how many queues, then for each: name, token, how long until there may be
--   something again, or * where nothing is known. Returns nothing.
local found = {}
for n = 1, number() do
  found[n] = {name = word(), token = word(), delay = none_or_word()}
  if found[n].delay and not find(found[n].delay, '^%d+$') then refuse('count') end
end
complete(2)

local at = now()
for _, one in ipairs(found) do
  if call('HGET', LOOKS, one.name) == one.token then
    call('HDEL', LOOKS, one.name)
    if one.delay then
      call('ZADD', QUEUES, int(at + one.delay), one.name)
    else
      call('ZREM', QUEUES, one.name)
    end
  end
end
