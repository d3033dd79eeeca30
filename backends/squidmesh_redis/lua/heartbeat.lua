-- Extends live leases to their full length from now.
-- KEYS: the queue's. ARGV: how many claims, then for each: key, generation, fence, hash of the claim id, incarnation.
-- Returns one word a claim: extended, lost, gone or forgotten.
local claims = {}
for n = 1, number() do
  claims[n] = {key = word(), generation = digits(), fence = digits(), hash = word(), incarnation = word()}
end
complete()

local at = now()
may_grow()
local alive = call('HGET', LIFE, 'incarnation')
local answer = {}
for n, claim in ipairs(claims) do
  local item = read(claim.key)
  local ends_at = item and leased_until(claim.key) or 0
  if holds(item, claim) and ends_at > at then
    call('ZADD', LEASED, int(at + item.length), claim.key)
    answer[n] = 'extended'
  elseif claim.incarnation == alive or is_buried(claim.key, claim.generation, claim.fence, at) then
    answer[n] = item and 'lost' or 'gone'
  elseif not item then
    answer[n] = 'forgotten'
  elseif ends_at > at or at_or_below(claim.generation, claim.fence, item.generation, item.fence) then
    answer[n] = 'lost'
  else
    answer[n] = 'forgotten'
  end
end
return answer
