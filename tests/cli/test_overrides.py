"""Wrong command lines: each gives one sentence with the choices, before torch is imported."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from zoo.cli import overrides
from zoo.cli.grammar import argument
from zoo.cli.store import CONFIGS, experiments, store_parts
from zoo.cli.validation import validate
from zoo.core.errors import ZooError
from zoo.registry import REGISTRY
from zoo.registry.signature import from_callable


@pytest.fixture(scope="module", autouse=True)
def _stored():
    store_parts()


def check(*arguments: str) -> DictConfig | None:
    return overrides.check(overrides.normalise(list(arguments)), CONFIGS)


def test_a_timm_model_has_two_spellings():
    given = ["task=evaluate", "features=timm", "model=resnet18", "ckpt=mnist"]
    assert overrides.normalise(given) == ["task=evaluate", "features=timm/resnet18", "ckpt=mnist"]
    check(*given, "--cfg", "job")
    several = ["-m", "task=evaluate", "features=timm", "model=resnet18,resnet50", "ckpt=mnist"]
    assert overrides.normalise(several)[2] == "features=timm/resnet18,timm/resnet50"
    check(*several)
    assert overrides.normalise(["features=timm"]) == ["features=timm"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["model/generator=resnet", "model/loss=hinge", "model.generator.base_channels=64"],
        ["model/regularizer=[r1,lecam]", "model.regularizer.r1.gamma=1"],
        ["experiment=train_mnist_gan.yaml", "trainer.gpus=0"],
        ["experiment=train_mnist_gan", "trainer.max_epochs=20", "datamodule.batch_size=32"],
        ["experiment=ralsgan"],  # of the example plugin
        ["task=sample", "ckpt=x.ckpt", "label=[0,4]", "n=64", "seed=0"],
        ["task=sample", "ckpt=x.ckpt", "label=0-3"],
        ["model.lr_g=1e-4", "model.clip_grad_norm=1", "model.ema_half_life=null"],
        ["-m", "model/generator=mlp,dcgan", "model/loss=bce,hinge,wgan_gp"],
        ["-m", "model/loss=glob(w*)", "seed=range(3)"],
        ["callbacks.samples=null"],
        ["callbacks.samples.columns=4", "logger=many", "logger.wandb.name=a"],
        ["callbacks=evaluate", "callbacks.evaluate.split=test"],
        ["logger=null", "callbacks=null"],
        ["~logger", "~callbacks"],
        ["experiment=train_mnist_gan", "model/head=null", "logger=null"],
        ["model/head=null", "model/regularizer=null", "model/augmentation=null"],
        ["experiment=null", "hparams_search=null"],
        ["trainer.strategy=ddp", "+trainer.max_time=00:01:00:00"],
        ["model/head=projection", "model.conditional=true"],
        ["trainer=ddp", "trainer.precision=bf16-mixed"],
        ["+width=8", "model.generator.base_channels=${width}"],  # read by another option
        ["datamodule=image_folder", "datamodule.folder=some/where"],
    ],
    ids=lambda a: " ".join(a) or "default",
)
def test_right_command_lines_pass(arguments):
    check(*arguments)


def test_callbacks_have_all_their_options_in_the_configuration():
    from zoo.training.trainer import _import

    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        callbacks = compose("config", ["callbacks=evaluate"]).callbacks
    for name, node in callbacks.items():
        known = {p.name: p.default for p in from_callable(_import(node._target_))}
        known.pop("folder", None)
        assert known.keys() == node.keys() - {"_target_"}, name
    samples = {p.name: p.default for p in from_callable(_import(callbacks.samples._target_))}
    assert {k: v for k, v in callbacks.samples.items() if k != "_target_"} == {
        k: v for k, v in samples.items() if k != "folder"
    }


@pytest.mark.parametrize("name", experiments(CONFIGS))
def test_experiments_pass(name):
    config = check(f"experiment={name}")
    assert config is not None
    assert config.logger.keys() <= {"csv", "wandb"}  # extras bring the others


LOSSES = "Choices: " + ", ".join(p.name for p in REGISTRY.parts("loss")) + "."


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        # groups and choices
        ("hydra.sweeper.n_trials=2", "has no option 'n_trials'. To search with Optuna, use task="),
        ("hydra.launcher.n_jobs=2", "has no option 'n_jobs'. The launchers with options are"),
        ("hydra.run.dirr=x", "hydra.run has no option 'dirr'. Did you mean 'dir'? Options"),
        ("model.regularizer.r1.gamma=3", "No regularizer is chosen; model/regularizer=r1 chooses"),
        ("model/loss=hing", f"no such choice. Did you mean 'hinge'? {LOSSES}"),
        ("model/los=bce", "model/los is not a group of choices. Did you mean 'model/loss'?"),
        ("modl/loss=bce", "logger, callbacks, callback, experiment, hparams_search, debug."),
        ("task=trian", "task=trian: there is no such choice. Did you mean 'train'?"),
        ("experiment=train_mnist", "Did you mean 'train_mnist_gan'? Choices: "),
        ("datamodule=mnst", "datamodule=mnst: there is no such choice. Did you mean 'mnist'?"),
        ("logger=wandbb", "logger=wandbb: there is no such choice. Did you mean 'wandb'?"),
        ("logger=[csv,mflow]", "logger=mflow: there is no such choice. Did you mean 'mlflow'? Cho"),
        ("callbacks.video.format=webp", "no option 'video'. The override +callback=video adds it"),
        ("logger.wandb.log_model=true", "no option 'wandb'. The override logger=wandb selects it"),
        ("model/regularizer=[r3]", "model/regularizer=r3: there is no such choice."),
        # keys
        ("modle=x", "Did you mean 'model'?"),
        ("experimnt=quick", "Did you mean 'experiment'?"),
        ("seeed=3", "the configuration has no option 'seeed'. Did you mean 'seed'?"),
        ("modle.lr_g=1", "the configuration has no option 'modle'. Did you mean 'model'?"),
        ("model.generater.base_channels=1", "no option 'generater'. Did you mean 'generator'?"),
        ("model.start.x=1", "model.start is a single value, so 'model.start.x' does not exist."),
        ("model.regularizer=[r1]", "no option 'regularizer'. Did you mean model/regularizer=r1?"),
        ("model.regularizer=[r1,lecam]", "Did you mean 'model/regularizer=[r1,lecam]'?"),
        ("model.head=projection", "no option 'head'. Did you mean model/head=projection?"),
        ("model.lrg=1", "model has no option 'lrg'. Did you mean 'lr_g'?"),
        ("model.generator.base=3", "model.generator (dcgan) has no option 'base'."),
        ("model.generator.base_channels.x=3", "model.generator.base_channels is a single value"),
        ("task=sample refine=ddls refine.steps=3", "name, 'refine={name: ddls, steps: 3}'."),
        ("task=sample refine.steps=3", "name, 'refine={name: NAME, steps: 3}'."),
        ("task=evaluate metrics.k=3", "name, 'metrics=[{name: NAME, k: 3}]'."),
        ("task=explore truncation.x=1", "truncation is a single value, so 'truncation.x' does not"),
        ("+model.foo=1", "model has no option 'foo'."),
        ("+model.generator.depth=1", "model.generator (dcgan) has no option 'depth'."),
        ("+callbacks.samples.rowz=1", "no option 'rowz'. Did you mean 'rows'?"),
        ("trainer.limit_train_batches=9",
         "add it with a plus sign: +trainer.limit_train_batches=9"),
        ("trainer.fast_dev_runs=true",
         "Did you mean +trainer.fast_dev_run=…, an option of Lightning's? Options of trainer: "),
        ("trainer.max_epoch=3", "option 'max_epoch'. Did you mean 'max_epochs'? Options of"),
        ("logger.csv.prefix=a",
         "Options of logger.csv: name. Add further options of Lightning's with a plus sign: +log"),
        ("+sed=3", "+sed=3: nothing reads an option 'sed'. Did you mean 'seed'? Options of "),
        ("+modle.lr_g=3", "+modle.lr_g=3: nothing reads an option 'modle'. Did you mean 'model'?"),
        # values
        ("model.generator.base_channels=wide", "base_channels=wide is not an integer."),
        ("model.generator.base_channels=1.5", "base_channels=1.5 is not an integer."),
        ("model.generator.base_channels=null", "base_channels=null is not an integer."),
        ("model.discriminator.norm=bach", "auto, batch, layer, none. Did you mean 'batch'?"),
        ("model.lr_g=fast", "model.lr_g=fast is not a number. For example: model.lr_g=0.0002"),
        ("model.betas=[0,x]", "[1]=x is not a number. For example: model.betas=[0.5,0.999]"),
        ("model.conditional=yes please", "=yes please is not true or false or null."),
        ("model.latent_dim=big", "model.latent_dim=big is not an integer."),
        ("datamodule.batch_size=many", "datamodule.batch_size=many is not an integer."),
        ("datamodule.train_val_test_split=9", "train_val_test_split=9 is not a list of int >= 0."),
        ("seed=one", "seed=one is not an integer."),
        ("trainer.max_epochs=ten", "=ten is not an integer or null. For example: trainer.max_e"),
        ("trainer.limit_val_batches=x", "=x is not a number or null. For example: trainer.limit_v"),
        ("trainer.gpus=all", "trainer.gpus=all is not an integer or null."),
        ("callbacks.samples.rows=x", "callbacks.samples.rows=x is not an integer."),
        ("data_dir=${nothing}", "data_dir: Interpolation key 'nothing' not found"),
        # options of other choices and places
        ("datamodule.folder=x", "option of datamodule=image_folder, datamodule=webdataset. Op"),
        ("model.loss.margin=1",
         "model.loss (bce) has no option 'margin'. 'margin' is an option of model/loss=hinge, model"
         "/loss=ralsgan. Options of model.loss (bce): smoothing."),
        ("ckpt=mnist label=5", "'label'. 'label' is an option of task=project, task=sample."),
        ("batch_size=32", "no option 'batch_size'. Did you mean 'datamodule.batch_size'?"),
        ("base_channels=9", "'model.generator.base_channels' or 'model.discriminator.base_"),
        ("epochs=2", "no option 'epochs'. Did you mean 'trainer.max_epochs' or "),
        # what is missing
        ("~trainer", "trainer is missing: choose its settings with trainer=…, for example cpu."),
        ("trainer=null", "trainer=null is not possible: choose one (python run.py --help"),
        ("model/loss=null", "model/loss=null is not possible: choose one"),
        ("-m model/head=null,projection", "model/head=null is not possible in a sweep"),
        ("~model.loss", "model.loss names no loss: choose one of afm, bce"),
        ("~datamodule", "datamodule names no datamodule: choose one of "),
        ("task=new", "kind is missing: give it as kind=…"),
        ("task=new kind=loss", "name is missing: give it as name=…"),
        # _target_s
        ("model.generator._target_=os.system", "'os.system' is not a registered generator, so"),
        ("task._target_=os.system", "'os.system' is not a registered task"),
        ("callbacks.samples._target_=os.system", "samples._target_=os.system is not allowed"),
        ("callbacks.samples._target_=zoo.cli.main.x", "zoo.cli.main.x does not exist: zoo.cli"),
        ("+callbacks.samples.x._target_=os.system", "callbacks.samples has no option 'x'"),
        ("+logger.csv.x._target_=os.system", "logger.csv has no option 'x'"),
        ("+x._target_=os.system", "x._target_=os.system stands where no part belongs"),
        # syntax
        ("train", "'train' is not an override: write key=value"),
        ("train", "quote it if the value has a space. Did you mean task=train?"),
        ("model.lr_g=[1", "the override 'model.lr_g=[1' cannot be read"),
        ("tags=[ü", "meant literally, write \"tags='[ü'\""),
        ("model/loss=hinge!", "model/loss=hinge!: there is no such choice. Did you mean 'hinge'?"),
        ("trainer.max_epochs=2)", "trainer.max_epochs=2) is not an integer or null."),
        ("--quick", "unrecognized arguments: --quick; options are written key=value"),
        ("-c", "expected one argument"),
        ("model/loss=bce,hinge", "add -m to run them all, or choose one of bce, hinge."),
        ("model/loss=glob(*)", "model/loss=glob(*) names several values: add -m to run them all."),
        ("-m model.lr_g=interval(0,1)", "model.lr_g=interval(0,1) is a continuous interval"),
        ("-m model/loss=bce,hing", "model/loss=hing: there is no such choice."),
        ("-m seed=1,2 model.d_steps=1,two", "model.d_steps=two is not an integer."),
    ],
)  # fmt: skip
def test_wrong_command_lines_are_told_in_one_sentence(arguments, words):
    given = [arguments] if arguments.startswith("model.conditional=yes") else arguments.split()
    with pytest.raises(ZooError) as caught:
        check(*given)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("flag", "key"), [([], "hydra.run.dir"), (["-m"], "hydra.sweep.dir")])
def test_a_folder_that_cannot_be_written_is_told(tmp_path, flag, key):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ZooError, match=rf"cannot be written, because .*file is not a folder.*{key}"
    ):
        check(*flag, f"{key}={tmp_path}/file/run")
    for name, target in (("gone", "nowhere"), ("round", "round")):
        (tmp_path / name).symlink_to(tmp_path / target)
        with pytest.raises(ZooError, match=rf"because .*{name} is a broken link.*{key}"):
            check(*flag, f"{key}={tmp_path / name}")


def test_a_further_folder_of_configs_is_searched(tmp_path):
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\nmodel:\n  lr_g: fast\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    with pytest.raises(ZooError, match="lr_g=fast is not a number"):
        check("--config-dir", str(tmp_path), "experiment=mine")


def test_presets_lie_beside_the_parts(tmp_path):
    folder = tmp_path / "model" / "generator"
    folder.mkdir(parents=True)
    (folder / "dcgan_wide.yaml").write_text("defaults: [dcgan]\nbase_channels: 128\n")
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        search = f"hydra.searchpath=['file://{tmp_path}']"
        config = compose("config", [search, "model/generator=dcgan_wide"], return_hydra_config=True)
    validate(config)
    assert config.model.generator == {
        "_target_": "zoo.parts.generators.dcgan.DCGANGenerator",
        "base_channels": 128,
    }


def test_yaml_values_are_held_to_the_signatures_too():
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        config = compose("config")
    OmegaConf.update(config, "model.generator.base_channels", "wide")
    with pytest.raises(ZooError, match="base_channels=wide is not an integer"):
        validate(config)


@pytest.mark.parametrize(
    "text",
    ["plain", "with space", "a=b.ckpt", "it's", 'say "x"', "a,b", "{x}", "back\\slash", "[1]"],
)
def test_quoting_takes_any_path_through_hydras_grammar(text):
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        config = compose("config", [f"resume={overrides.quote(text)}"])
    assert config.resume == text


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("resume=Müller/run (1)", "Müller/run (1)"),
        ("resume=a=b.ckpt", "a=b.ckpt"),
        ("resume=it's", "it's"),
        ("resume=日本#1!", "日本#1!"),
        ("resume=back\\slash;", "back\\slash;"),
        ("tags=[grün,plain, b!]", ["grün", "plain", "b!"]),
        ("tags=[]", []),
        ("resume='it''", "'it''"),  # which the grammar tells
        ("resume=[a", "[a"),
        ("seed=3", 3),
        ("resume=outputs/train/x", "outputs/train/x"),
    ],
)
def test_text_that_hydras_grammar_has_no_room_for_is_text(given, read):
    (normal,) = overrides.normalise([given])
    if given in ("resume='it''", "resume=[a"):
        assert normal == given
        return
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        config = compose("config", [normal])
    assert config[given.partition("=")[0]] == read


def test_names_that_are_there_are_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a, b (1)", "2024_01", "5", "a,b"):
        (tmp_path / name).mkdir()
    for given, normal in (
        ("resume=a, b (1)", "resume='a, b (1)'"),
        ("resume=a,b", "resume='a,b'"),
        ("resume=2024_01", "resume='2024_01'"),
        ("resume=2023_01", "resume=2023_01"),
        ("seed=5", "seed=5"),
        ("label=Ä,b", "label='Ä',b"),
        ("model.lr_g=interval(0,1)", "model.lr_g=interval(0,1)"),
        ("hydra.run.dir=ü/${now:%Y}", "hydra.run.dir=ü/${now:%Y}"),
    ):
        assert overrides.normalise([given]) == [normal]


def test_printed_commands_are_quoted_as_a_reader_would():
    assert argument("label", "Äpfel") == "\"label='Äpfel'\""
    assert argument("ckpt", "a b") == "\"ckpt='a b'\""
    assert argument("ckpt", "plain/run") == "ckpt=plain/run"
    for text in ("it's", "a$b", 'say "x"', "a`b`", "wow!", "back\\slash"):
        (word,) = shlex.split(argument("ckpt", text))
        value = OverridesParser.create().parse_override(word).value()
        assert str(value) == text


def test_experiments_of_plugins_are_listed(tmp_path, monkeypatch):
    folder = tmp_path / "configs" / "experiment"
    folder.mkdir(parents=True)
    (folder / "of_a_plugin.yaml").write_text("# @package _global_\nseed: 1\n")
    monkeypatch.setenv("ZOO_PLUGINS", str(tmp_path))
    assert {"of_a_plugin", "ralsgan", "sngan"} <= set(experiments(Path(CONFIGS)))
    check("experiment=of_a_plugin")


@pytest.mark.parametrize(
    ("given", "expanded"),
    [
        ("ckpt=~/a.ckpt", "ckpt=/h o/a.ckpt"),
        ("datamodule.folder=~", "datamodule.folder=/h o"),
        ("hydra.run.dir='~/x y'", "hydra.run.dir='/h o/x y'"),
        ("ckpt=[~/a,/b,~/c]", "ckpt=[/h o/a,/b,/h o/c]"),
        ("datamodule.folder=~/a,~/b", "datamodule.folder=/h o/a,/h o/b"),
        ("repo=file:~/model", "repo=file:/h o/model"),
        ("~logger", "~logger"),
        ("label=a~/b", "label=a~/b"),
        ("label=~nobody-of-this-name", "label=~nobody-of-this-name"),
    ],
)
@pytest.mark.parametrize("home", ["/h", "/h o"])
def test_the_home_folder_is_written_out(monkeypatch, given, expanded, home):
    monkeypatch.setenv("HOME", home)
    (found,) = overrides.normalise([given])
    assert found.replace("'", "") == expanded.replace("'", "").replace("/h o", home)
    if "/h o" in found:
        assert found.count("'") >= 2
    OverridesParser.create().parse_override(found)
