-- At the head: takes away the mark of a key that is clean.
-- KEYS key, meta (not read), dirty. OK
if redis.call('HEXISTS', KEYS[1], 'dn') == 0 then redis.call('ZREM', KEYS[3], KEYS[1]) end
return {'OK'}
