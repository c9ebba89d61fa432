--- Times as the Kubernetes API writes them. Pure.

local M = {}

-- Days since 1970-01-01 of a date of the Gregorian calendar.
local function days(year, month, day)
  local y = month <= 2 and year - 1 or year
  local era = math.floor(y / 400)
  local of_era = y - era * 400
  local of_year = math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1
  return era * 146097 + of_era * 365 + math.floor(of_era / 4) - math.floor(of_era / 100) + of_year - 719468
end

local function offset_ms(zone)
  if zone == "Z" or zone == "z" then
    return 0
  end
  local sign, hours, minutes = zone:match("^([+-])(%d%d):(%d%d)$")
  if not sign then
    return nil
  end
  return (sign == "-" and -1 or 1) * (hours * 60 + minutes) * 60000
end

--- Milliseconds since 1970, or nil when the text is no time of RFC 3339.
---@param text string
---@return number?
function M.parse(text)
  local year, month, day, hour, minute, second, fraction, zone =
    text:match("^(%d%d%d%d)-(%d%d)-(%d%d)[Tt](%d%d):(%d%d):(%d%d)(%.?%d*)(.+)$")
  local shift = zone and offset_ms(zone)
  if not shift or fraction == "." or not (fraction == "" or fraction:sub(1, 1) == ".") then
    return nil
  end
  year, month, day, hour, minute, second =
    tonumber(year), tonumber(month), tonumber(day), tonumber(hour), tonumber(minute), tonumber(second)
  if month < 1 or month > 12 or day < 1 or day > 31 or hour > 23 or minute > 59 or second > 60 then
    return nil
  end
  local seconds = days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second
  return seconds * 1000 + math.floor((tonumber("0" .. fraction) or 0) * 1000) - shift
end

return M
