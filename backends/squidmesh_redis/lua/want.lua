-- The names that a claimer wants, told once: take() is given their key alone.
-- KEYS: the set's. ARGV: how many names, then they. Returns nothing.
local names = {}
for n = 1, number() do names[n] = word() end
complete(1)

call('DEL', KEYS[1])
if #names > 0 then
  call_for_all('SADD', KEYS[1], names)
  call('PEXPIRE', KEYS[1], WANTED_LASTS)
end
