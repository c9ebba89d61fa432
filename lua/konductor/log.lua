--- The log: one line an event on stderr, as text or JSON; on a terminal also one live line
--- that counts down how long a wait can still take.
---
--- A line that cannot be written is dropped: no log may hold up a renewal. Neither
--- environment, arguments nor tokens are ever handed to this module.

local core = require "konductor.core"
local text = require "konductor.text"

local M = {}

local STDERR = 2
local LEVELS = { error = 1, warn = 2, info = 3, debug = 4 }
local CLEAR_LINE = "\r\27[K"
local TICK_MS = 1000

---@class konductor.Log
---@field level integer
---@field format "text"|"json"
---@field holder string
local Log = {}
Log.__index = Log

---@class konductor.LogOptions
---@field level? "error"|"warn"|"info"|"debug"
---@field format? "text"|"json"
---@field holder? string
---@field terminal? boolean  default: whether stderr is one
---@field write? fun(line: string)  default: to stderr

---@param given? konductor.LogOptions
---@return konductor.Log
function M.new(given)
  given = given or {}
  local terminal = given.terminal
  if terminal == nil then
    terminal = core.isatty(STDERR)
  end
  return setmetatable({
    level = LEVELS[given.level or "info"],
    format = given.format or "text",
    holder = given.holder,
    live = terminal and (given.format or "text") == "text",
    write = given.write or function(line) core.write(STDERR, line) end,
  }, Log)
end

local function text_line(wall, level, words)
  return ("%sZ %s %s\n"):format(wall:sub(1, 23), level, text.line(words))
end

local function json_line(log, wall, level, words, fields)
  local line = { time = wall, level = level, msg = text.line(words), holder = log.holder }
  for key, value in pairs(fields or {}) do
    line[key] = line[key] or (type(value) == "string" and text.line(value) or value)
  end
  local encoded = core.json.encode(line)
  if not encoded then -- a field that JSON cannot say
    encoded = core.json.encode { time = wall, level = level, msg = line.msg, holder = log.holder }
  end
  return encoded .. "\n"
end

--- Writes one line.
---@param level "error"|"warn"|"info"|"debug"
---@param words string
---@param fields? table  for JSON; the words say it all for people
function Log:log(level, words, fields)
  if LEVELS[level] > self.level then
    return
  end
  local wall = core.wall()
  local line
  if self.format == "json" then
    line = json_line(self, wall, level, words, fields)
  else
    line = text_line(wall, level, words)
  end
  if self.shown then
    line = CLEAR_LINE .. line
    self.shown = false
  end
  self.write(line)
  self:draw()
end

--- Seconds for people: "9 s", "2 min 5 s".
local function left(ms)
  local seconds = math.max(0, math.ceil(ms / 1000))
  if seconds < 120 then
    return ("%d s"):format(seconds)
  end
  return ("%d min %d s"):format(math.floor(seconds / 60), seconds % 60)
end

function Log:draw()
  local wait = self.wait
  if not wait then
    return
  end
  local words = text.line(wait.words)
  if wait.until_ms then
    words = ("%s (at most %s)"):format(words, left(wait.until_ms - core.now()))
  end
  local width = core.winsize(STDERR) or 80
  self.write(CLEAR_LINE .. words:sub(1, width - 1))
  self.shown = true
end

local function tick(log)
  while log.wait do
    log.ticker:wait(core.now() + TICK_MS)
    log:draw()
  end
  log.ticker = nil
end

--- Shows what is waited for, with the time left, until hide(). On a terminal only.
---@param words string
---@param until_ms? number  boot clock
function Log:show(words, until_ms)
  if not self.live or self.level < LEVELS.info then
    return
  end
  self.wait = { words = words, until_ms = until_ms }
  self:draw()
  if not self.ticker then
    self.ticker = core.inbox()
    core.task(nil, tick, self)
  end
end

--- Takes the live line away.
function Log:hide()
  self.wait = nil
  if self.shown then
    self.write(CLEAR_LINE)
    self.shown = false
  end
  if self.ticker then
    self.ticker:post { type = "hide" }
  end
end

return M
