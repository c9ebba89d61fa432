--- One compare-and-swap, every outcome resolved.
---
--- A store answers a replace with a new revision, with a refusal, or not at all, and a
--- conflict may be our own earlier write that a proxy repeated. This file reads until it
--- knows which, and gives its caller one of four words:
---   "ok"       record, t0    ours is in; t0 is when it was first sent
---   "lost"     record?       somebody else wrote; the record as it is now, nil when deleted
---   "unknown"  detail        not known within give_up_at: the write may still be applied;
---                            detail is "cancelled" when the task was
---   "fatal"    code, detail  the store will not answer better to another try
--- A write is recognised by its own mark, `status.op`, never by its effect: a hand-over
--- looks like one's own takeover and has a shorter time to live.

local M = {}

--- After so many reads in a row that are older than what was seen, the store went back.
local STALE_READS = 5
local BACKOFF_MS, BACKOFF_MAX_MS = 50, 2000

--- Codes that another try may answer better.
local PASSING = { busy = true, unknown = true, store = true, full = true, timeout = true }

M.PASSING = PASSING

--- Sleeps longer with each try, with jitter, but not beyond the deadline.
---@param w konductor.World
---@param try integer       from 1
---@param give_up_at? number
---@return boolean go_on    false: the deadline has come, or the task was cancelled
---@return string? code     "cancelled"
function M.backoff(w, try, give_up_at)
  local ms = math.min(BACKOFF_MS * 2 ^ (try - 1), BACKOFF_MAX_MS)
  ms = ms + w.random(ms)
  if give_up_at then
    ms = math.min(ms, give_up_at - w.now())
    if ms <= 0 then
      return false
    end
  end
  if not w.sleep(ms) then
    return false, "cancelled"
  end
  return not (give_up_at and w.now() >= give_up_at)
end

--- Reads a record, patiently: passing failures are tried again until the deadline, and so are
--- answers older than min_rev.
---@param w konductor.World
---@param kind string
---@param name string
---@param give_up_at? number
---@param min_rev? integer   the highest revision seen of that name: one that was made anew has a higher one too
---@param how? {limit_ms?: integer}  of each read, as world.get takes it
---@return konductor.Record? record
---@return string? code      "absent", or why there is no answer
---@return string? detail
function M.get(w, kind, name, give_up_at, min_rev, how)
  local try, stale = 0, 0
  while true do
    local record, code, detail = w.get(kind, name, how)
    if record and min_rev and record.rev < min_rev then
      stale = stale + 1
      if stale >= STALE_READS then
        local sentence = ("%s/%s is at revision %d, after %d was seen"):format(kind, name, record.rev, min_rev)
        return nil, "rolled_back", sentence
      end
    elseif record or not PASSING[code] then
      return record, code, detail
    end
    try = try + 1
    local go_on, ended = M.backoff(w, try, give_up_at)
    if not go_on then
      return nil, ended or code or "store", detail
    end
  end
end

--- What stands in the store tells whether the write that was sent is in.
local function judge(record, sent, now, landed)
  if not now then
    return "lost"
  elseif now.uid == record.uid and landed(now.status, sent) then
    return "ok"
  elseif now.uid == record.uid and now.rev == record.rev then
    return "open" -- it may still land: only the same write again keeps at most one of them
  end
  return "lost"
end

local function by_op(status, sent)
  return status.op ~= nil and status.op == sent.op
end

---@class konductor.CasOptions
---@field by? "holder"|"queue"|"gc"
---@field first? string        session to wake first
---@field give_up_at? number   boot clock; nil: never
---@field limit_ms? integer    longest wait for each answer; nil: the store's own
---@field landed? fun(status: table, sent: table): boolean
---  whether a status contains the write; default: by op. Writes of the queue keep op, and are
---  recognised by what they did, which is safe because nothing is timed from them.

local NO_OPTIONS = {}

--- Replaces the status of a record if it stands unchanged.
---@param w konductor.World
---@param record konductor.Record
---@param status table
---@param options? konductor.CasOptions
---@return "ok"|"lost"|"unknown"|"fatal" outcome
---@return any value
---@return any extra
function M.replace(w, record, status, options)
  options = options or NO_OPTIONS
  local landed, give_up_at = options.landed or by_op, options.give_up_at
  local t0 = w.now()
  local try = 0
  while true do
    local new, code, detail = w.replace(record, status, options)
    if new then
      return "ok", new, t0
    elseif code == "absent" then
      return "lost", nil
    elseif detail == "cancelled" then
      return "unknown", detail
    elseif code ~= "conflict" and not PASSING[code] then
      return "fatal", code, detail
    end
    if code ~= "busy" then
      local now, why, more = M.get(w, record.kind, record.name, give_up_at, record.rev, options)
      if not now and why ~= "absent" then
        if PASSING[why] then
          return "unknown", detail or more
        elseif why == "cancelled" then
          return "unknown", why
        end
        return "fatal", why, more
      end
      local outcome = judge(record, status, now, landed)
      if outcome == "ok" then
        return "ok", now, t0
      elseif outcome == "lost" then
        return "lost", now
      end
    end
    try = try + 1
    local go_on, ended = M.backoff(w, try, give_up_at)
    if not go_on then
      return "unknown", ended or detail
    end
  end
end

return M
