"""Data that do not fit a network, labels that a head lacks, training that cannot be, and gates that say nothing."""

import re

from tests.faults.architectures import head
from tests.faults.fault import Fault, block, excise, prove, replace

TRAIN = block("data train", 'load = digits(split = "train", flat = true)')
TUNE = ("data = train", "epochs = 1", "optimizer = adamw(lr = 1e-3)", "loss = cross_entropy")


def trained(name: str, steps: str, code: str, *says: str, data: str = TRAIN, net: str = "", at: str = "") -> Fault:
    model = head("digits")
    if net:
        model = re.sub(r'python\("patients:digits"\)', f'python("patients:digits", {net})', model)
    return Fault(name, "digits", f"{model}{data}\n{steps}", code, says, "", at)


def tuned(*changes: tuple[str, str]) -> str:
    lines = [next((new for old, new in changes if old and line.startswith(old)), line) for line in TUNE]
    return block("recover tune", *lines, *(new for old, new in changes if not old))


HEAD = replace('linear("head")', "linear(<<8 ~> 10>>)", "changes = outputs")

FAULTS: tuple[Fault, ...] = (
    trained("a new head of too few classes", HEAD + tuned(), "SD501", "8", "10", at="loss"),
    trained("a head of one class", HEAD.replace("8", "1") + tuned(), "SD501", "1", "10", at="loss"),
    trained("a network of too few classes", tuned(), "SD501", "9", "10", net="classes = <<9 ~> 10>>", at="loss"),
    trained("images where rows go", tuned(), "SD312", "64", data=TRAIN.replace("true", "<<false ~> true>>")),
    trained("a data set that is not there", tuned(("data", "data = <<trian ~> train>>")), "SD106", "train"),
    trained(
        "a split that is not there", tuned(), "SD107", "train", data=TRAIN.replace('"train"', '"<<training ~> train>>"')
    ),
    trained("no length", tuned(("epochs", "batch = 16<< ~> \n  epochs = 1>>")), "SD509", at="recover"),
    trained("a length twice", tuned(("epochs", "epochs = 1<<\n  steps = 5 ~> >>")), "SD509", at="steps"),
    trained(
        "an optimizer with a typo", tuned(("optimizer", "optimizer = <<adam ~> adamw>>(lr = 1e-3)")), "SD105", "adamw"
    ),
    trained("a negative rate", tuned(("optimizer", "optimizer = adamw(lr = <<-1e-3 ~> 1e-3>>)")), "SD112", "-0.001"),
    trained("a rate in percent", tuned(("optimizer", "optimizer = adamw(lr = <<1% ~> 1e-2>>)")), "SD108"),
    trained("a teacher that is not there", tuned(("loss", "loss = distill(<<teacher ~> base>>)")), "SD106"),
    trained(
        "a criterion on data that are not there",
        excise('linear("hidden")', "lowest(25%)", "channels", "by = taylor(<<calib ~> train>>)"),
        "SD106",
        "calib",
    ),
    trained(
        "weights that are trained though frozen",
        replace('linear("hidden")', "lora(rank = 4)")
        + tuned(("", "train = <<all ~> only(new)>>"))
        + prove('frozen(param("head.weight"))'),
        "SD301",
        "head.weight",
        at="prove",
    ),
    trained(
        "a measure that is proved", tuned() + block("control final", "<<prove ~> measure>> loss(train) <= 2.5"), "SD303"
    ),
    trained(
        "training of a selection that is not there",
        replace('linear("hidden")', "lora(rank = 4)") + tuned(("", "train = only(<<adapters ~> new>>)")),
        "SD106",
        "adapters",
    ),
    trained(
        "adapters before they are there",
        tuned(("", "train = <<only(new) ~> all>>")) + replace('linear("hidden")', "lora(rank = 4)"),
        "SD106",
        "new",
    ),
)
