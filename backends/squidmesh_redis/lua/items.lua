-- A page of what the queue holds. An item that is there all the while is on one page at least.
-- KEYS: the queue's. ARGV: cursor (0 begins); about how many. Reads only.
-- Returns: the next cursor (0 ends); then for each: key, priority, generation, fence, remaining delay, concurrency key
--   or '', limit, and of a live lease: owner or '', hash, fence, length.
local cursor, count = word(), number()
complete()

local at = now()
local page = call('HSCAN', ITEMS, cursor, 'COUNT', int(count))
local answer = {page[1]}
for n = 1, #page[2], 2 do
  local key, item = page[2][n], unpacked(page[2][n + 1])
  local told = {
    key, item.priority, item.generation, item.fence, int(math.max(0, item.visible_at - at)),
    item.group or '', item.limit or '0', '', '', '0', '0',
  }
  if item.owner and leased_until(key) > at then
    told[8], told[9], told[10], told[11] = item.owner, item.hash, item.held_fence, item.length
  end
  for _, part in ipairs(told) do answer[#answer + 1] = part end
end
return answer
