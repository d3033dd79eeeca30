-- Ends the items of claims for good, and brings the items of the same queue that come with that.
-- KEYS: the queue's. ARGV: how many claims, then for each: key, generation, fence, hash of the claim id, lease length;
--   how many items, then 12 arguments each (see _common). Returns nothing.
-- Works when the server is out of memory: what ends makes room for what follows from it.
local claims, items = {}, {}
for n = 1, number() do
  claims[n] = {key = word(), generation = digits(), fence = digits(), hash = word(), length = digits()}
end
for n = 1, number() do items[n] = arguments_of_item() end
complete()

local at = now()
may_grow()
local lasts_until
for _, claim in ipairs(claims) do
  local item = read(claim.key)
  if holds(item, claim) then
    remove(claim.key, item)
    lasts_until = bury(claim.key, item.generation, item.fence, at)
  elseif not item then
    -- Forgotten: the holder still knows that no offer at or under its own fence is news.
    remember_length(claim.length)
    lasts_until = bury_unknown(claim.key, claim.generation, claim.fence, at)
  end
end
buried(lasts_until)
put_all(items, at)
