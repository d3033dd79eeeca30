-- Which items are neither held nor buried at or above their (generation, floor).
-- KEYS: the queue's. ARGV: how many, then for each: key, generation, floor. Returns their positions, from 1. Reads only.
local asked = {}
for n = 1, number() do asked[n] = {key = word(), generation = digits(), fence = digits()} end
complete()

local at = now()
local answer = {}
for n, one in ipairs(asked) do
  local item = read(one.key)
  local held = item and at_or_below(one.generation, one.fence, item.generation, item.fence)
  if not held and not is_buried(one.key, one.generation, one.fence, at) then answer[#answer + 1] = n end
end
return answer
