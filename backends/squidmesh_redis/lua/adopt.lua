-- Takes leases back in that another life of this memory had granted (protocol 3.5.6). The caller has read in the journal
-- that they are current, and has heard of each that it is forgotten; both may have changed since.
-- KEYS: the queue's. ARGV: candidate for a new incarnation; priority of what is unknown; how many claims, then for each:
--   key, generation, fence, hash of the claim id, incarnation, owner, lease length.
-- Returns one word a claim: extended, lost or gone.
local candidate, priority = word(), digits()
local claims = {}
for n = 1, number() do
  claims[n] = {
    key = word(), generation = digits(), fence = digits(), hash = word(), incarnation = word(), owner = word(),
    length = digits(),
  }
end
complete()

local at = now()
may_grow()
local alive = incarnation(candidate)
local answer = {}
for n, claim in ipairs(claims) do
  local item = read(claim.key)
  local ends_at = item and leased_until(claim.key) or 0
  if holds(item, claim) and ends_at > at then
    call('ZADD', LEASED, int(at + item.length), claim.key)
    answer[n] = 'extended'
  elseif claim.incarnation == alive or is_buried(claim.key, claim.generation, claim.fence, at) then
    answer[n] = item and 'lost' or 'gone'
  elseif item and (ends_at > at or at_or_below(claim.generation, claim.fence, item.generation, item.fence)) then
    answer[n] = 'lost'
  else
    local new = nothing_new()
    put({
      key = claim.key, priority = item and item.priority or priority, generation = claim.generation,
      fence = claim.fence, delay = 0, group = item and item.group, limit = item and item.limit,
      owner = claim.owner, hash = claim.hash, held_generation = claim.generation, held_fence = claim.fence,
      length = claim.length,
    }, item, at, arrivals(1), new)
    write_new(new)
    answer[n] = 'extended'
  end
end
return answer
