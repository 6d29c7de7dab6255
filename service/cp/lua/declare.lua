-- Makes every key of these buckets believed under the node's present run, and ends the sweep; 0 if the sweep is no longer
-- ours or the node was emptied meanwhile. KEYS the lease, the metas; ARGV our token, run id, the mark of each bucket that the
-- peer knows
local held = redis.call('GET', KEYS[1])
if not held or held:match('^%S+') ~= ARGV[1] then return 0 end
for i = 2, #KEYS do
  local mark = ARGV[i + 1]
  if mark:match('^%S+') == ARGV[2] and redis.call('HGET', KEYS[i], 'r') ~= mark then return 0 end
end
for i = 2, #KEYS do redis.call('HSET', KEYS[i], 's', ARGV[2]) end
redis.call('DEL', KEYS[1])
return 1
