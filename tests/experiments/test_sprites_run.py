from support import SHORT

from experiments import vae
from jaxgen.cli import main


def test_sprites_train_and_are_evaluated(tmp_path, capsys):
    """On the command line; the test split is bounded, so the evaluation doesn't go over the whole world."""
    flags = ["--source", "sprites", "--image-size", "16", "--hidden", "16", "--importance-samples", "0"]
    main(vae.experiment, [*SHORT, *flags, "--steps", "3", "--run", str(tmp_path)])
    assert "test elbo" in capsys.readouterr().out
    for picture in ("samples", "reconstructions", "latent_scatter", "mutual_information", "arithmetic"):
        assert (tmp_path / f"{picture}.png").exists()
