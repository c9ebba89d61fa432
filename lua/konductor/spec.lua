--- From the checked options of a script to what the drivers want: the spec of the record,
--- should it have to be made, and the options of claim.run. Pure.

local duration = require "konductor.duration"

local M = {}

--- Time to live of a claim on a Once when nothing else is said.
M.CLAIM_TTL_MS = 15000

---@param o { ttl: integer, priority?: integer, renewable?: boolean, preempt?: boolean, queue_max?: integer }
---@return table spec  of a Lease
function M.lease(o)
  return {
    ttl = duration.format(o.ttl), priority = o.priority, renewable = o.renewable, preempt = o.preempt,
    queueMax = o.queue_max,
  }
end

---@return table spec  of a Once
function M.once(o)
  return {
    ttl = o.ttl and duration.format(o.ttl) or nil, mode = o.mode,
    maxAttempts = o.retries and o.retries + 1 or nil, backoff = o.backoff and duration.format(o.backoff) or nil,
  }
end

--- What to tell of a record that is there and is not kept for as long as the script or command asks: the object's own
--- ttl counts, and nobody who claims writes that.
---@param wanted? string  the ttl that was asked for
---@param record konductor.Record
---@return string? sentence
function M.kept_otherwise(wanted, record)
  local own = record.spec and record.spec.ttl
  local wanted_ms, own_ms = wanted and duration.parse(wanted), type(own) == "string" and duration.parse(own) or nil
  if not wanted_ms or own_ms == wanted_ms then
    return nil
  end
  return ("its record was made before and is kept %s, not for %s: change spec.ttl of the object, or delete it to have "
    .. "it made anew"):format(own_ms and "for " .. duration.format(own_ms) or "for ever", duration.format(wanted_ms))
end

--- What a stage or once runs, as claim.run wants it; `work`, `wait` and `timeout_ms` are the
--- caller's.
---@param context { grace_ms: integer, on_state?: function }
---@param object string
---@param o table  checked options of a stage or once
---@return konductor.ClaimOptions
function M.claim(context, object, o)
  return {
    name = object, ttl_ms = o.hold or M.CLAIM_TTL_MS, version = o.version, mode = o.mode,
    max_attempts = o.retries and o.retries + 1 or nil, backoff_ms = o.backoff, run_timeout_ms = o.timeout,
    stop_grace_ms = o.grace or context.grace_ms, spec = M.once(o), on_state = context.on_state,
  }
end

return M
