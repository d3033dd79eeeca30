-- Who works with the queue in how many lanes. One number is to stay: the others are the caller's to retire.
-- KEYS: the set of numbers that are in use. ARGV: the number, 0 for a queue that is its only lane; whether the others
--   are to go (1) or not (0). Returns them.
local own, alone = digits(), digits() == '1'
complete(1)

local others = {}
for _, number in ipairs(call('SMEMBERS', KEYS[1])) do
  if number ~= own then others[#others + 1] = number end
end
if alone and #others > 0 then call('SREM', KEYS[1], unpack(others)) end
if own ~= '0' then call('SADD', KEYS[1], own) end
return others
