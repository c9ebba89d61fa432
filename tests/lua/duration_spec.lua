local duration = require "konductor.duration"

describe("a duration", function()
  local good = {
    { "0", 0 }, { "0s", 0 }, { "15s", 15000 }, { "500ms", 500 }, { "10m", 600000 }, { "1h30m", 5400000 },
    { "1.5h", 5400000 }, { ".5s", 500 }, { "5.s", 5000 }, { "+5s", 5000 }, { "1.1h", 3960000 },
    { "0.1h", 360000 }, { "24h", 86400000 }, { "1h1m1s1ms", 3661001 }, { "30m1h", 5400000 },
    { "1.000000000000001s", 1000 }, { "2540400h", 9145440000000 }, { "0001s", 1000 },
  }
  for _, case in ipairs(good) do
    it(("reads %s as %d ms"):format(case[1], case[2]), function()
      assert.equal(case[2], duration.parse(case[1]))
    end)
  end

  it("is rounded up to whole milliseconds, never cut short", function()
    assert.equal(1, duration.parse("1ns"))
    assert.equal(1, duration.parse("1us"))
    assert.equal(1, duration.parse("1\194\181s"))
    assert.equal(1, duration.parse("1\206\188s"))
    assert.equal(2, duration.parse("1.5ms"))
    assert.equal(1, duration.parse("999us1us"))
    assert.equal(1000, duration.parse("1000000us"))
  end)

  local bad = {
    { "", "is empty" }, { "10", 'did you mean "10s"' }, { "1.5", 'did you mean "1.5s"' },
    { "-1s", "cannot be negative" }, { "+", "number is missing" }, { "s", "number is expected at byte 1" },
    { "1y", "units are h, m, s, ms, us and ns, write \"8760h\"" }, { "2d", 'write "48h"' },
    { "1w", 'write "168h"' }, { "1e9h", "exponents are not understood" }, { "1E9h", "exponents" },
    { "5 min", 'no blank stands before the unit; write "5m"' }, { "1.5 h", 'write "1.5h"' }, { "1 day", 'write "24h"' },
    { "5 apples", "5 has no unit" },
    { "10S", 'did you mean "10s"' }, { "10sec", 'did you mean "10s"' }, { "5minutes", 'did you mean "5m"' },
    { "10x", 'unknown unit "x"' }, { "1h 30m", "number is expected at byte 3" }, { " 1s", "expected at byte 1" },
    { "1h30", 'did you mean "30s"' }, { "1.2.3s", "1.2 has no unit" }, { "..s", "number is expected" },
    { "1s-", "number is expected at byte 3" }, { "2540401h", "longer than 290 years" },
    { "99999999999999999999999h", "longer than 290 years" }, { "\255s", "number is expected" },
    { "1\0s", "no unit" }, { "0x10s", "unknown unit" }, { "1\n", "no unit" },
  }
  for _, case in ipairs(bad) do
    it(("is refused as %q, with what is wrong"):format(case[1]), function()
      local ms, code, sentence = duration.parse(case[1])
      assert.is_nil(ms)
      assert.equal("usage", code)
      assert.truthy(sentence:find(case[2], 1, true), sentence)
      assert.falsy(sentence:find("%c"), "on one line")
    end)
  end

  it("is refused when it is no text, with the text that was meant", function()
    assert.truthy(select(3, duration.parse(10)):find('write "10s"', 1, true))
    for _, value in ipairs { true, {}, print } do
      local ms, code = duration.parse(value)
      assert.is_nil(ms)
      assert.equal("usage", code)
    end
    assert.equal("usage", select(2, duration.parse(nil)))
  end)

  it("is printed in the usual spelling", function()
    local spellings = {
      [0] = "0s", [1] = "1ms", [999] = "999ms", [1000] = "1s", [1500] = "1.5s", [15000] = "15s", [90000] = "1m30s",
      [600000] = "10m", [5400000] = "1h30m", [86400000] = "24h", [3600001] = "1h0.001s", [61010] = "1m1.01s",
      [-500] = "-500ms",
    }
    for ms, spelling in pairs(spellings) do
      assert.equal(spelling, duration.format(ms))
    end
  end)

  it("survives printing and reading", function()
    local ms = 1
    for _ = 1, 200 do
      ms = (ms * 7 + 13) % 9000000000000
      assert.equal(ms, duration.parse(duration.format(ms)))
    end
  end)
end)
