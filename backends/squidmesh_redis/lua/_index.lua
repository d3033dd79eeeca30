-- What the scripts of the index of queues share, one of a few parts of it. Behind _common.lua in each of them.
--
-- KEYS:
--   1  queues  zset  queue -> when somebody should look at it next. The first is the one whose turn is longest ago.
--   2  looks   hash  queue -> the token of who looks at it now. A mark takes it away: so what comes in the middle of a
--                    look is not lost by what the look has not found.
--
-- A hint, as a whole: what is lost of it is marked again by the next sweep (protocol 3.8).

local QUEUES, LOOKS = KEYS[1], KEYS[2]
local NOW = 2000  -- microseconds within which moments are one: turns are told apart in them
local WANTED_LASTS = 60000
