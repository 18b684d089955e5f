from detection.commands.sppnet import main

if __name__ == "__main__":
    raise SystemExit(main())
