-- At the head: it runs. What asks through a connection bound to one run learns that this run does.
return {'OK'}
