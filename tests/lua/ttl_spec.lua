local ttl = require "konductor.ttl"

describe("the clock rules", function()
  it("let the holder act for 95 % of its time and a waiter take over after 105 %", function()
    assert.equal(1000 + 14250, ttl.kill_at(1000, 15000))
    assert.equal(1000 + 15750, ttl.takeover_at(1000, 15000))
  end)

  it("round to the safe side: the kill down, the takeover up", function()
    assert.equal(950, ttl.kill_at(0, 1001))
    assert.equal(1052, ttl.takeover_at(0, 1001))
    assert.equal(0, ttl.kill_at(0, 1))
    assert.equal(2, ttl.takeover_at(0, 1))
  end)

  it("keep holder and waiter apart at clock rates 5 % apart, for every ttl", function()
    for ms = 1, 20000, 7 do
      local slow_holder = ttl.kill_at(0, ms) / 0.95
      local fast_waiter = ttl.takeover_at(0, ms) / 1.05
      assert.is_true(slow_holder <= fast_waiter + 1e-6, "ttl " .. ms)
    end
  end)

  it("ask the child to end a grace before the kill, at most a fifth of the time", function()
    assert.equal(14250 - 800, ttl.term_at(0, 15000, 800))
    assert.equal(14250 - 3000, ttl.term_at(0, 15000, 3000))
    assert.equal(14250 - 3000, ttl.term_at(0, 15000, 25000))
    assert.equal(14250, ttl.term_at(0, 15000, 0))
  end)

  it("renew after a third, so that two renewals may be lost", function()
    assert.equal(100 + 5000, ttl.renew_at(100, 15000))
    assert.is_true(ttl.renew_at(0, 3000) * 2 < ttl.term_at(0, 3000, 3000))
  end)

  it("make the fence grow over revision and fence alike", function()
    assert.equal(8, ttl.next_fence(7, 3))
    assert.equal(8, ttl.next_fence(3, 7))
    assert.equal(2, ttl.next_fence(0, 1))
  end)

  it("let a one-shot command take over only past ttl, grain and skew, and never blindly", function()
    assert.is_false(ttl.oneshot_expired(15750 + 2000, 15000, 0))
    assert.is_true(ttl.oneshot_expired(15750 + 2001, 15000, 0))
    assert.is_false(ttl.oneshot_expired(15750 + 7000, 15000, 5000))
    assert.is_true(ttl.oneshot_expired(15750 + 7001, 15000, 5000))
    assert.is_false(ttl.oneshot_expired(nil, 15000, 0))
  end)

  it("collect only what is executed, has a ttl and is old enough by the store's clock", function()
    assert.is_true(ttl.collect_due(true, 1000, 1000))
    assert.is_false(ttl.collect_due(true, 999, 1000))
    assert.is_false(ttl.collect_due(false, 5000, 1000))
    assert.is_false(ttl.collect_due(true, 5000, nil))
    assert.is_false(ttl.collect_due(true, nil, 1000))
  end)

  it("refuse a ttl that a store cannot keep", function()
    assert.equal(3000, ttl.check(3000, ttl.SERVER_MIN_MS))
    assert.equal(1, ttl.check(1))
    local _, code, sentence = ttl.check(2999, ttl.SERVER_MIN_MS, "kube")
    assert.equal("usage", code)
    assert.equal("2.999s is too short for the store kube; the shortest is 3s", sentence)
    assert.equal("usage", select(2, ttl.check(0)))
    assert.equal("usage", select(2, ttl.check(-1)))
  end)

  it("warn of a version called latest and of no other", function()
    assert.truthy(ttl.latest_warning("latest"):find("latest", 1, true))
    assert.is_nil(ttl.latest_warning("1.0"))
    assert.is_nil(ttl.latest_warning(""))
    assert.is_nil(ttl.latest_warning(nil))
  end)
end)
