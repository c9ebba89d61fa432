--- Durations as REELECT_AFTER has them: "30min", "1h 30m", "2days 4hours". Pure.
---
--- Whole numbers with units, one after another; blanks may stand between them. "M" is a month, "m" a minute.

local duration = require "konductor.duration"
local quote = require("konductor.text").quote

local M = {}

local SECOND, MINUTE, HOUR, DAY = 1000, 60000, 3600000, 86400000

-- Spellings of each unit, and how many milliseconds it has; a month and a year are means.
local SPELLINGS = {
  { "nsec ns", 1e-6 },
  { "usec us \194\181s", 1e-3 },
  { "millis msec ms", 1 },
  { "seconds second secs sec s", SECOND },
  { "minutes minute mins min m", MINUTE },
  { "hours hour hrs hr h", HOUR },
  { "days day d", DAY },
  { "weeks week wks wk w", 7 * DAY },
  { "months month M", 30.44 * DAY },
  { "years year yrs yr y", 365.25 * DAY },
}

local UNITS = {}
for _, entry in ipairs(SPELLINGS) do
  for spelling in entry[1]:gmatch "%S+" do
    UNITS[spelling] = entry[2]
  end
end

local function refuse(text, why)
  return nil, ('%s is no duration such as "30min" or "1h 30m": %s'):format(quote(text), why)
end

---@param text string
---@return integer? ms   rounded up; at least 1
---@return string? sentence
function M.parse(text)
  local total, at = 0, 1
  while text:find("%S", at) do
    local number, unit, behind = text:match("^%s*(%d+)%s*([^%s%d]*)()", at)
    if not number then
      return refuse(text, "a whole number is expected before each unit")
    elseif unit == "" then
      return refuse(text, number .. " has no unit")
    elseif not UNITS[unit] then
      return refuse(text, ("there is no unit %s"):format(quote(unit)))
    end
    total, at = total + tonumber(number) * UNITS[unit], behind
  end
  if total == 0 then
    return refuse(text, "it is empty, or zero")
  elseif total > duration.MAX_MS then
    return refuse(text, "it is longer than 290 years")
  end
  return math.ceil(total)
end

return M
