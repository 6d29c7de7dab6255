-- Makes every key of these buckets believed under the node's present run, and ends the sweep; 0 if the sweep is no longer
-- ours or the node was emptied meanwhile. KEYS the lease, the metas; ARGV our token, run id
local held = redis.call('GET', KEYS[1])
if not held or held:match('^%S+') ~= ARGV[1] then return 0 end
for i = 2, #KEYS do redis.call('HSET', KEYS[i], 's', ARGV[2]) end
redis.call('DEL', KEYS[1])
return 1
