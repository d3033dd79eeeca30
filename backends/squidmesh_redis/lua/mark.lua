-- Something of these queues can be claimed now, or after a delay: somebody should look. Begins with a deletion, so it
-- works when the server is out of memory.
-- KEYS: the index's (see _index). ARGV: how many queues, then for each: name, delay. Returns nothing.
local names, marks = {}, {}
local at = now()
for n = 1, number() do
  names[n] = word()
  marks[2 * n - 1], marks[2 * n] = int(at + number()), names[n]
end
complete(2)

if #names == 0 then return end
call('HDEL', LOOKS, unpack(names))  -- who looks at them now may not have seen it
call('ZADD', QUEUES, 'LT', unpack(marks))
