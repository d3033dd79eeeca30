-- Gives claims back unspent. A release under a stale claim changes nothing.
-- KEYS: the queue's. ARGV: how many releases, then for each: key, generation, fence, hash of the claim id, delay, floor,
--   and of the claim that the item is left to: owner or *, hash or *, generation, fence, lease length. Returns how many
--   items may try again that had waited for a concurrency key.
local releases = {}
for n = 1, number() do
  releases[n] = {
    key = word(), generation = digits(), fence = digits(), hash = word(), delay = number(), floor = digits(),
    owner = none_or_word(), held_hash = none_or_word(), held_generation = digits(), held_fence = digits(),
    length = digits(),
  }
end
complete()

local at = now()
may_grow()
local claimable = 0
for _, release in ipairs(releases) do
  local key = release.key
  local item = read(key)
  if holds(item, release) then
    item.fence = greater(item.fence, release.floor)
    leave_places(key, item)
    if release.owner then
      remember_length(release.length)
      item.owner, item.hash, item.held_fence = release.owner, release.held_hash, release.held_fence
      item.length, item.request, item.position, item.lapsed = release.length, nil, nil, nil
      item.generation = greater(item.generation, release.held_generation)
      item.fence = greater(item.fence, release.held_fence)
      begin_lease(key, item, at + release.length)
    else
      item.owner = nil
      if release.delay > 0 then item.visible_at = int(at + release.delay) end
      end_lease(key, item)
      make_ready(key, item)
      claimable = claimable + 1
    end
    write(key, item)
  end
end
hint(claimable)
return let_try
