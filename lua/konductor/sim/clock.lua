--- Clocks of the simulated world. True time is an integer of microseconds; each replica
--- reads it through a boot clock with an offset and an error of rate in parts per million,
--- and a wall clock that may be wrong by any amount.

local M = {}

local floor = math.floor

--- What a clock that runs `ppm` fast shows at true time `t_us`, without its offset.
--- In two parts, because t_us * ppm would leave the exact integers after some hours.
local function scaled(t_us, ppm)
  local s = floor(t_us / 1000000)
  return t_us + s * ppm + floor((t_us - s * 1000000) * ppm / 1000000)
end

---@param t_us integer
---@param clock {offset_us: integer, ppm: integer}
---@return integer ms
function M.read_ms(t_us, clock)
  return floor((clock.offset_us + scaled(t_us, clock.ppm)) / 1000)
end

--- The first true time at which the clock shows at least `ms`.
---@param ms number
---@param clock {offset_us: integer, ppm: integer}
---@return integer t_us
function M.true_us(ms, clock)
  local want = math.ceil(ms) * 1000 - clock.offset_us
  local t = floor(want / (1 + clock.ppm / 1000000))
  while scaled(t, clock.ppm) >= want do
    t = t - 1
  end
  while scaled(t, clock.ppm) < want do
    t = t + 1
  end
  return t
end

--- RFC 3339 with microseconds; true time 0 is the start of 2026.
---@param t_us integer
function M.rfc3339(t_us)
  local seconds = floor(t_us / 1000000)
  local days = floor(seconds / 86400)
  local second = seconds - days * 86400
  -- civil date of a day number, counted from 0000-03-01 in eras of 400 years
  local z = days + 20454 + 719468
  local era = floor(z / 146097)
  local doe = z - era * 146097
  local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))
  local mp = floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format("%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", year, month,
    doy - floor((153 * mp + 2) / 5) + 1, floor(second / 3600), floor(second / 60) % 60, second % 60,
    t_us - seconds * 1000000)
end

return M
