-- Whether it is this owner's turn to sweep the queue; then it is, for a period from now.
-- KEYS: the queue's. ARGV: owner; period. Returns 1 or 0.
local owner, period = word(), number()
complete()

local at = now()
local sweeper = call('HGET', LIFE, 'sweeper')
if sweeper and sweeper ~= owner and tonumber(call('HGET', LIFE, 'sweeper_until')) > at then return 0 end
call('HSET', LIFE, 'sweeper', owner, 'sweeper_until', int(at + period))
return 1
