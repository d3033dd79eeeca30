-- Counts of the queue's items.
-- KEYS: the queue's. ARGV: none. Reads only.
-- Returns: ready; delayed; leased; for how long the one that waits longest has been visible, or ''. Of leases that ended
--   and of items that wait for a concurrency key, only the first hundred are asked how long they have waited.
complete()
local MOST_ASKED = 100

local at = now()
local leased = call('ZCOUNT', LEASED, '(' .. int(at), '+inf')
local ready = call('ZCARD', LEASED) - leased + call('ZCARD', WAITING)
local oldest
local function consider(moment)
  if moment and moment <= at and (not oldest or moment < oldest) then oldest = moment end
end
for priority = 0, 9 do
  local key = KEYS[READY + priority]
  ready = ready + call('ZCOUNT', key, '-inf', int(at))
  consider(tonumber(call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]))
end
for _, key in ipairs(call('ZRANGEBYSCORE', LEASED, '-inf', int(at), 'LIMIT', 0, MOST_ASKED)) do
  local item = read(key)
  consider(item and tonumber(item.visible_at))
end
for _, member in ipairs(call('ZRANGE', WAITING, 0, MOST_ASKED - 1)) do
  local item = read(string.match(member, '%S+$'))
  consider(item and tonumber(item.visible_at))
end
return {
  int(ready), int(call('HLEN', ITEMS) - ready - leased), int(leased), oldest and int(at - oldest) or '',
}
