--- How long one who wants something bears with a store that does not answer, or that refuses.
---
--- At the start either is most likely a mistake of whoever set it up, and is told by ending: a
--- refusal at once, silence after a minute. Later it is most likely passing - a control plane
--- that is being upgraded, a right taken away and given back, a plugin for credentials that
--- failed once - and whoever ended for it would only be started again into the same: so one
--- who waits goes on to wait, says so once, and says when it has passed.
---
--- "Later" begins when it has stood waiting or has held, and for each kind of request when one
--- such has been answered well.

local cas = require "konductor.cas"

local M = {}

--- So long a store may fail without an answer at the start.
M.START_MS = 60000
local FIRST_MS, REFUSED_FIRST_MS, LONGEST_MS = 100, 500, 5000

--- Refusals that a person may take back: a right, the CRDs, a namespace.
local REFUSALS = { denied = true, config = true }

---@class konductor.Patience
---@field again_at number    boot clock: not before then, after a failure
---@field since? number     boot clock: when what fails was last known not to
---@field refused boolean    the last failure was a refusal: news do not make it worth another try
local Patience = {}
Patience.__index = Patience

---@param w konductor.World
---@param say fun(level: "warn"|"info", text: string)
---@param ends boolean  never longer than at the start: for what does not wait
---@param start_ms? number  how long silence is borne at the start; default START_MS
---@return konductor.Patience
function M.new(w, say, ends, start_ms)
  return setmetatable({
    w = w, say = say, ends = ends, start_ms = start_ms or M.START_MS, answered = {}, refused = false, again_at = 0,
    since = w.now(), -- when the trouble began: nothing has been answered so far
  }, Patience)
end

--- It waits for another, or holds: it has what it needs of the store.
function Patience:stands()
  self.started = true
end

--- The store has answered, be it that another was faster.
---@param verb "get"|"create"|"replace"|"delete"
function Patience:well(verb)
  self.answered[verb] = true
  -- reads may be answered while the write that failed still is not
  if self.since and (verb == self.failing or verb == "replace") then
    if self.said then
      self.say("info", self.refused and "the store no longer refuses" or "the store answers again")
    end
    self.since, self.said, self.tries, self.refused = nil, nil, nil, false
  end
end

local function grow(self, now, until_ms)
  self.tries = (self.tries or 0) + 1
  local first = self.refused and REFUSED_FIRST_MS or FIRST_MS
  local ms = math.min(first * 2 ^ math.min(self.tries - 1, 10), LONGEST_MS)
  self.again_at = math.min(now + ms + self.w.random(ms), until_ms)
end

--- A request failed. Nothing: worth another try, from again_at on.
---@param verb "get"|"create"|"replace"|"delete"
---@param code string
---@param detail? string
---@return string? code    why it is not worth another
---@return string? detail
function Patience:failed(verb, code, detail)
  local refused = REFUSALS[code] == true
  if not refused and not cas.PASSING[code] then
    return code, detail
  end
  local early = self.ends or not (self.started or self.answered[verb])
  local now = self.w.now()
  self.since = self.since or now
  if early and refused then
    return code, detail
  elseif early and now - self.since >= self.start_ms then
    return code == "full" and code or "store", detail
  end
  if not self.said or refused and not self.refused then
    self.said = true
    local sentence = refused and "the store refuses: %s; trying again" or "the store does not answer: %s; trying again"
    self.say("warn", sentence:format(detail or code))
  end
  self.refused, self.failing = refused, verb
  grow(self, now, early and self.since + self.start_ms or math.huge)
end

return M
