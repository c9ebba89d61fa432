--- The clock rules: from when on and until when somebody may act.
---
--- Wall clocks may be wrong by any amount; only the *rate* of a clock is trusted, to
--- within 5 %. The holder counts from the moment it sent the write that gave it the
--- hold and acts for 95 % of the time; a waiter counts from the moment it first saw
--- that write and takes over after 105 %. Sending comes before seeing, so the two never
--- meet. All times are whole milliseconds, rounded to the safe side.
---
--- Not covered: a child that is paused for longer than the hold and then resumed, and
--- a store that is rolled back. There the fencing number is the guarantee.

local duration = require "konductor.duration"

local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min

local M = {}

--- Time a grantee has to accept a hand-over before the next in the queue steps in.
M.ACCEPT_MS = 3000
--- What each further place in the queue waits on top, so that they do not race.
M.STAGGER_MS = 400
--- The same when the holder is known to be dead: only the wake-up has to pass.
M.GONE_STAGGER_MS = 40
--- Shortest time to live that stores with a server grant (whole seconds, slow answers).
M.SERVER_MIN_MS = 3000
--- What one-shot commands allow for the grain of server time stamps.
M.GRAIN_MS = 2000

--- The child must be dead by then.
---@param base_ms integer  when the granting or last renewing write was sent
---@param ttl_ms integer
---@return integer
function M.kill_at(base_ms, ttl_ms)
  return base_ms + floor(ttl_ms * 95 / 100)
end

--- The child is asked to end then: the grace before the kill, at most a fifth of the time.
---@param base_ms integer
---@param ttl_ms integer
---@param grace_ms integer
---@return integer
function M.term_at(base_ms, ttl_ms, grace_ms)
  return M.kill_at(base_ms, ttl_ms) - min(grace_ms, floor(ttl_ms / 5))
end

--- The next renewal is sent then; two of them may be lost.
---@param base_ms integer
---@param ttl_ms integer
---@return integer
function M.renew_at(base_ms, ttl_ms)
  return base_ms + floor(ttl_ms / 3)
end

--- A waiter may take over then, if nothing changed since.
---@param since_ms integer  when the waiter first saw the record as it is
---@param ttl_ms integer    the record's, never one's own
---@return integer
function M.takeover_at(since_ms, ttl_ms)
  return since_ms + ceil(ttl_ms * 105 / 100)
end

--- Longest wait for one answer of the store while a hold depends on it: what is not answered by
--- then is asked again while there is time.
---@param ttl_ms integer
---@return integer
function M.answer_ms(ttl_ms)
  return max(1, min(3000, floor(ttl_ms / 5)))
end

--- How far the clocks of the servers of one store may be apart.
M.SKEW_MS = 5000

--- Whether a command that cannot stay and watch may take over now, judged by the age of
--- the last write on the store's own clock.
---@param age_ms integer?  nil: the store cannot tell, so no
---@param ttl_ms integer
---@param skew_ms integer  how far the store's servers may be apart; 0 on one machine
---@return boolean
function M.oneshot_expired(age_ms, ttl_ms, skew_ms)
  return age_ms ~= nil and age_ms > ceil(ttl_ms * 105 / 100) + M.GRAIN_MS + skew_ms
end

--- The fencing number of the next grant: above every earlier one, also after the record
--- was deleted and created again, because revisions never go back.
---@param fence integer
---@param rev integer
---@return integer
function M.next_fence(fence, rev)
  return max(fence, rev) + 1
end

--- Whether the record of finished work has been kept for as long as was asked.
---@param executed boolean
---@param age_ms integer?   since the completing write
---@param keep_ms integer?  nil: for ever
---@return boolean
function M.collect_due(executed, age_ms, keep_ms)
  return executed and keep_ms ~= nil and age_ms ~= nil and age_ms >= keep_ms
end

--- Refuses a time to live that is too short to be renewed in.
---@param ttl_ms integer
---@param min_ms integer?  the store's smallest; default none
---@param store string?     its name, for people
---@return integer? ttl_ms
---@return string? code
---@return string? sentence
function M.check(ttl_ms, min_ms, store)
  if ttl_ms <= 0 then
    return nil, "usage", "a hold must last longer than 0"
  elseif min_ms and ttl_ms < min_ms then
    return nil, "usage", ("%s is too short for the store %s; the shortest is %s"):format(
      duration.format(ttl_ms), store, duration.format(min_ms))
  end
  return ttl_ms
end

--- A sentence when a version names nothing in particular.
---@param version string?
---@return string?
function M.latest_warning(version)
  if version == "latest" then
    return 'the version is "latest": the next image has the same name, so its work will be taken for done'
  end
end

return M
