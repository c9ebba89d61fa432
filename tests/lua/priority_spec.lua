local priority = require "konductor.priority"

local function waiter(session, prio)
  return { id = "pod-" .. session, session = session, prio = prio or 0 }
end

local function queue_of(...)
  local queue
  for _, each in ipairs { ... } do
    queue = priority.insert(queue, each, 32)
  end
  return queue
end

local function order(queue)
  local names = {}
  for i, each in ipairs(queue or {}) do
    names[i] = each.session
  end
  return table.concat(names, " ")
end

describe("the queue", function()
  it("keeps the order of arrival within a priority", function()
    assert.equal("a b c", order(queue_of(waiter "a", waiter "b", waiter "c")))
  end)

  it("puts a higher priority before the first lower one, behind its equals", function()
    assert.equal("d b e a c", order(queue_of(
      waiter("a", 0), waiter("b", 5), waiter("c", 0), waiter("d", 9), waiter("e", 5))))
    assert.equal("a b", order(queue_of(waiter("a", 0), waiter("b", -1))))
  end)

  it("never changes the list it is given", function()
    local queue = queue_of(waiter "a", waiter "b")
    priority.insert(queue, waiter("c", 9), 2)
    priority.remove(queue, "a")
    priority.drop_ahead(queue, "b", 0)
    assert.equal("a b", order(queue))
  end)

  it("has room up to its limit, and then only for one above its tail", function()
    local queue = queue_of(waiter("a", 5), waiter("b", 0))
    assert.is_true(priority.has_room(queue, 0, 3))
    assert.is_false(priority.has_room(queue, 0, 2))
    assert.is_true(priority.has_room(queue, 1, 2))
    assert.is_true(priority.has_room(nil, 0, 1))
    assert.is_false(priority.has_room(nil, 9, 0))
  end)

  it("displaces its tail when it is full", function()
    local queue = queue_of(waiter("a", 5), waiter("b", 0))
    assert.equal("a c", order(priority.insert(queue, waiter("c", 1), 2)))
    assert.equal("d a", order(priority.insert(queue, waiter("d", 6), 2)))
  end)

  it("becomes nil, not an empty list, when the last one leaves", function()
    local queue = queue_of(waiter "a")
    assert.is_nil(priority.remove(queue, "a"))
    assert.is_nil(priority.drop_ahead(queue, "a", 0))
    assert.is_nil(priority.remove(nil, "a"))
    assert.is_nil(priority.drop_ahead(nil, "a", 0))
  end)

  it("keeps the others in order when one leaves", function()
    assert.equal("a c d", order(priority.remove(queue_of(waiter "a", waiter "b", waiter "c", waiter "d"), "b")))
  end)

  it("gives the same list back when the one who leaves is not in it", function()
    local queue = queue_of(waiter "a")
    assert.equal(queue, priority.remove(queue, "b"))
  end)

  it("counts who stands ahead, for those outside as if they had just joined", function()
    local queue = queue_of(waiter("a", 5), waiter("b", 0), waiter("c", 0))
    assert.equal(0, priority.ahead(queue, "a", 5))
    assert.equal(2, priority.ahead(queue, "c", 0))
    assert.equal(3, priority.ahead(queue, "z", 0))
    assert.equal(1, priority.ahead(queue, "z", 5))
    assert.equal(0, priority.ahead(queue, "z", 6))
    assert.equal(0, priority.ahead(nil, "z", 0))
    assert.is_nil(priority.place(queue, "z"))
    assert.equal(2, priority.place(queue, "b"))
  end)

  it("drops those ahead of one that takes over, in the queue or outside", function()
    local queue = queue_of(waiter("a", 5), waiter("b", 0), waiter("c", 0))
    assert.equal("b c", order(priority.drop_ahead(queue, "a", 5)))
    assert.equal("c", order(priority.drop_ahead(queue, "b", 0)))
    assert.is_nil(priority.drop_ahead(queue, "c", 0))
    assert.is_nil(priority.drop_ahead(queue, "z", 0))
    assert.equal("b c", order(priority.drop_ahead(queue, "z", 5)))
    assert.equal("a b c", order(priority.drop_ahead(queue, "z", 6)))
  end)

  it("lets only a strictly higher priority ask the holder to make way, and outbid a request", function()
    assert.is_true(priority.may_preempt(1, 0, nil))
    assert.is_false(priority.may_preempt(0, 0, nil))
    assert.is_false(priority.may_preempt(-1, 0, nil))
    assert.is_true(priority.may_preempt(2, 0, 1))
    assert.is_false(priority.may_preempt(1, 0, 1))
  end)
end)
