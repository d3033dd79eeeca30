-- Ends the items of claims for good, and brings the items of the same queue that come with that.
-- KEYS: the queue's. ARGV: how many claims, then they; how many items, then they (see _common). Returns how many items may try again that had waited for a
--   concurrency key.
-- Works when the server is out of memory: what ends makes room for what follows from it.
local claims, items = {}, {}
for n = 1, number() do
  claims[n] = argument_of_claim()
end
for n = 1, number() do items[n] = argument_of_item() end
complete()

local at = now()
may_grow()
local keys, ended, ended_items = {}, {}, {}
for n, claim in ipairs(claims) do keys[n] = claim.key end
local lasts_until
for n, item in ipairs(read_all(keys)) do
  local claim = claims[n]
  if holds(item, claim) then
    if item.group then
      remove(claim.key, item)
    else
      ended[#ended + 1], ended_items[#ended_items + 1] = claim.key, item
    end
    lasts_until = bury(claim.key, item.generation, item.fence, at)
  elseif not item then
    -- Forgotten: the holder still knows that no offer at or under its own fence is news.
    remember_length(claim.length)
    lasts_until = bury_unknown(claim.key, claim.generation, claim.fence, at)
  end
end
remove_all(ended, ended_items)
buried(lasts_until)
put_all(items, at)
return let_try
