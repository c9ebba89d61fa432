--- Chance for the simulated world: xorshift128 of Marsaglia on 32-bit words.
---
--- Integers only, because libm differs between machines, and a stream per user of it,
--- because a draw by one replica must not move the draws of another.

local bit = require "bit"
local bxor, lshift, rshift = bit.bxor, bit.lshift, bit.rshift

local M = {}

---@class konductor.sim.Random
local Random = {}
Random.__index = Random

--- A stream; streams of one seed with different numbers are independent.
---@param seed integer
---@param stream? integer
---@return konductor.sim.Random
function M.new(seed, stream)
  local self = setmetatable({
    x = bxor(123456789, seed % 0x100000000),
    y = bxor(362436069, math.floor(seed / 0x100000000)),
    z = bxor(521288629, (stream or 0) * 2654435),
    w = 88675123,
  }, Random)
  for _ = 1, 20 do
    self:word()
  end
  return self
end

--- 0 .. 2^32-1
function Random:word()
  local t = bxor(self.x, lshift(self.x, 11))
  self.x, self.y, self.z = self.y, self.z, self.w
  self.w = bxor(self.w, rshift(self.w, 19), t, rshift(t, 8))
  return self.w % 0x100000000
end

--- 0 .. n-1
---@param n integer
function Random:below(n)
  return self:word() % n
end

--- As many lower-case hex digits as asked for, in eights.
---@param words integer
function Random:hex(words)
  local text = ""
  for _ = 1, words do
    text = text .. bit.tohex(self:word())
  end
  return text
end

return M
