-- Removes items that the journal no longer has open, if they are still as they were seen.
-- KEYS: the queue's. ARGV: how many, then for each: key, generation, fence. Returns how
--   many items may try again that had waited for a concurrency key.
local drops = {}
for n = 1, number() do drops[n] = {key = word(), generation = digits(), fence = digits()} end
complete()

local at = now()
may_grow()
local lasts_until
for _, drop in ipairs(drops) do
  local item = read(drop.key)
  if item and item.generation == drop.generation and item.fence == drop.fence then
    remove(drop.key, item)
    lasts_until = bury(drop.key, drop.generation, drop.fence, at)
  end
end
buried(lasts_until)
return let_try
