-- How much of this queue could be claimed now: what a claim over several queues asks each of them first.
-- KEYS: the queue's, then the record of the request. ARGV: owner; hash of the request id; how many claims at most.
-- Returns: how many may be claimable (or the limit, if more); incarnation or ''; next due or ''; then key, generation,
--   fence, lease length, position, lapsed and concurrency key or '' of each claim that the request was granted before and
--   still holds.
local owner, request, limit = word(), word(), number()
complete()

local at = now()
local count, due = 0, ''
if call('HEXISTS', LIFE, 'paused') == 0 then
  local first_later
  count = call('ZCOUNT', LEASED, '-inf', int(at))
  if count > 0 then count = count + call('ZCARD', WAITING) end  -- the end of those lets some of these try again
  for priority = 0, 9 do
    local ready = KEYS[READY + priority]
    if count < limit then count = count + call('ZCOUNT', ready, '-inf', int(at)) end
    if count < limit then
      local later = tonumber(call('ZRANGEBYSCORE', ready, '(' .. int(at), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2])
      if later and (not first_later or later < first_later) then first_later = later end
    end
  end
  due = next_due(at, first_later)
end
local answer = {int(math.min(count, limit)), call('HGET', LIFE, 'incarnation') or '', due}
for _, told in ipairs(granted_before(KEYS[19], owner, request, at)) do answer[#answer + 1] = told end
return answer
